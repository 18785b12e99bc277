"""What is made of scored runs: comparisons, the regression gate, power, subgroups, publishable bundles. No model is needed."""
