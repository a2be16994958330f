//! Tests of keep-alive and of redialing.

mod ping;
mod reconnect;
