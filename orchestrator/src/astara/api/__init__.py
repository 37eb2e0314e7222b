"""What operators ask of a node: over AMQP and HTTP, by the process of the role `api`."""
