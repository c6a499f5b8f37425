"""The whole system on one machine: the parts that the service talks to, without Docker and without AWS."""
