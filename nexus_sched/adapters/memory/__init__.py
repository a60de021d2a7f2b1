"""Every port in memory: the model that simulators and tests run on."""
