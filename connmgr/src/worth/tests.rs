//! Tests of worth.
