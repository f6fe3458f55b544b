//! A number as a picture that a telephone can read off the screen.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// The digits of a number as a QR code (ISO/IEC 18004), two rows in each line, dark on light whatever the terminal's
/// colours are; nothing if there are more digits than a code can hold.
pub(super) fn of(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let Ok(code) = QrCode::with_error_correction_level(digits, EcLevel::M) else { return String::new() };
    // A terminal writes light on dark: what is printed is light.
    let picture = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    picture + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safety_number_is_a_square_that_fits_into_a_terminal() {
        let number = ["01234"; 12].join(" ");
        let picture = of(&number);
        let lines: Vec<&str> = picture.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width), "{picture}");
        assert!(width <= 40 && lines.len() <= 20 && width.div_ceil(2) == lines.len(), "{width} by {}", lines.len());
        assert!(picture.chars().all(|c| " █▀▄\n".contains(c)), "{picture}");
        assert_ne!(picture, of(&number.replace('1', "2")));
        assert_eq!(picture, of(&number.replace(' ', "")));
    }
}
