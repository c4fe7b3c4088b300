"""The machines that the engine tests and the benchmarks run on, made from Debian packages and kept under target/beds."""
