"""What each kind of resource is: pure functions from Neutron's detail to the desired document."""
