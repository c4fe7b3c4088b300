//! Support for the tests that boot a VM.
