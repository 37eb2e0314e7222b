"""A network function to copy from: blackhole routes."""
