//! Behaviour of the whole compilation, on objects written as JSON.
