"""The demo library: real media and real watch logs out of registry packages."""
