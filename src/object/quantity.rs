//! Resource quantities: `100m`, `1.5Gi`, `2e3`.

/// An amount, exact to 10⁻⁹ as upstream's `resource.Quantity` rounds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Quantity {
    pub nano: i128,
}

impl Quantity {
    pub fn parse(_text: &str) -> Result<Quantity, String> {
        todo!()
    }
    /// Rounded up to whole units (bytes).
    pub fn value(self) -> i64 {
        todo!()
    }
    /// Rounded up to thousandths (CPU).
    pub fn milli(self) -> i64 {
        todo!()
    }
}
