//! Tests of AutoRelay.
