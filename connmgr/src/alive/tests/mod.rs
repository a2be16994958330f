//! Tests of keep-alive and of redialing.

mod keep_alive;
mod reconnect;
