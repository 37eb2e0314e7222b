"""The operators' command line: `astara-ctl`, made of cliff commands and a browser."""
