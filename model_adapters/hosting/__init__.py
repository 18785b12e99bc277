"""How a model of other code is run: in process, in a worker of another environment, as a program."""
