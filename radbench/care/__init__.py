"""Care for datasets: what is there, whether it leaks, and what must not leave the machine."""
