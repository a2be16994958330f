//! What must hold in any case.
