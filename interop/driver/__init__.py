"""What `run` and `relay` share: processes, the two sides of a cell, what people see, what the command line takes."""
