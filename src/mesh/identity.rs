//! The cluster's certificate authority and the certificates it signs.
