"""What every room builds on: errors, legal values, call sites, clocks, and replacing what others own."""
