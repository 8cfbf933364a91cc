"""One module for each wire format, and two for endpoints without a stream; none knows another."""
