"""What all rooms share: errors, checks of values, call sites, clocks, notifications, and patching of libraries."""
