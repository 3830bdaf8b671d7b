//! libtorch's switches, turned for every device, so that they can be read back without a card.

use seedbed::store::record::Switches;
use seedbed_train::determinism::switches;
use seedbed_train::device;

#[test]
fn opening_a_device_turns_libtorchs_switches_and_they_stay_so() {
    device::open("cpu").expect("a CPU");
    let expected = Switches {
        deterministic_algorithms: true,
        cudnn_deterministic: true,
        cudnn_benchmark: false,
        tf32_products: false,
        tf32_convolutions: false,
    };
    assert_eq!(switches(), expected);
}
