//! Resource quantities (`1500m`, `64Mi`, `2e3`): what parses, prints as something that parses to the same.

#![no_main]

use coracle::object::quantity::Quantity;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(quantity) = Quantity::parse(text) {
        let (_, _) = (quantity.value(), quantity.milli());
        let printed = quantity.to_string();
        assert_eq!(Quantity::parse(&printed), Ok(quantity), "{text:?} printed as {printed:?}");
    }
});
