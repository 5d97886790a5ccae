//! The service in a box: our own stand-in for the remote API, for trying, demos and tests.
