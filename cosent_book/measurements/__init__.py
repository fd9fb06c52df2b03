"""What the book measures of data and encoders, recorded by name and arguments."""
