//! The promises of the program, kept against a real Postfix: one module per promise.
