"""What every measure of the benchmark is made of; one idea a file."""
