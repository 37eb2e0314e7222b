"""The router driver: ``needs`` says which networks to plug, ``document`` what the appliance is."""
