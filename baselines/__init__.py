"""The methods, one file each, and the ingredients they share."""
