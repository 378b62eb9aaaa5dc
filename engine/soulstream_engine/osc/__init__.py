"""OSC out: byte templates, the VMC protocol, one UDP sender."""
