//! What the person at the terminal says and sees.
