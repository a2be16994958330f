//! A matrix as a picture: a square for each pair, green where there is an upgrade, red where something was not as it should be.

use crate::matrix::{Cell, Matrix, Way};
use crate::text::groups;
use std::io::Write;

/// The least side of the square of one pair, in pixels, and of a group's block: so that its name has room.
const SQUARE: usize = 5;
const BLOCK: usize = 13;
/// Pixels of one dot of a letter.
const DOT: usize = 2;
/// From one letter to the next.
const LETTER: usize = 4 * DOT;
const MARGIN: usize = 8;

type Colour = [u8; 3];
const HEADING: &str = "ROWS: A, WHO DIALED THROUGH THE RELAY. COLUMNS: B, WHO PUNCHES";

const PAPER: Colour = [255, 255, 255];
const INK: Colour = [40, 40, 48];
const WRONG: Colour = [214, 40, 40];
const NEVER: Colour = [226, 228, 232];

/// Pixels, row by row.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: PAPER.repeat(width * height) }
    }

    fn fill(&mut self, (x, y): (usize, usize), (width, height): (usize, usize), colour: Colour) {
        for row in y..(y + height).min(self.height) {
            for column in x..(x + width).min(self.width) {
                let at = (row * self.width + column) * 3;
                self.pixels[at..at + 3].copy_from_slice(&colour);
            }
        }
    }

    /// Writes from left to right, or `upright`, from below to above.
    fn write(&mut self, (x, y): (usize, usize), text: &str, upright: bool) {
        for (at, letter) in text.chars().enumerate() {
            let dots = glyph(letter);
            for (row, column) in (0..5).flat_map(|row| (0..3).map(move |column| (row, column))) {
                if dots >> (14 - (row * 3 + column)) & 1 == 1 {
                    let along = at * LETTER + column * DOT;
                    let place = match upright {
                        false => (x + along, y + row * DOT),
                        true => (x + row * DOT, y.saturating_sub(along + DOT)),
                    };
                    self.fill(place, (DOT, DOT), INK);
                }
            }
        }
    }
}

/// Where each front's row begins, and how long its side is.
struct Axis(Vec<(usize, usize)>);

impl Axis {
    fn of(matrix: &Matrix) -> Axis {
        let mut at = 0;
        let mut places = Vec::new();
        for group in groups(matrix) {
            let side = SQUARE.max(BLOCK.div_ceil(group.count));
            for _ in 0..group.count {
                places.push((at, side));
                at += side;
            }
            at += 1;
        }
        Axis(places)
    }

    fn len(&self) -> usize {
        self.0.last().map_or(0, |(at, side)| at + side)
    }
}

fn colour(cell: &Cell) -> Colour {
    match (cell.runs, cell.wrong, cell.way) {
        (0, ..) => PAPER,
        (_, 1.., _) => WRONG,
        (_, _, Way::Never) => NEVER,
        // Paler where more tries were needed.
        _ => {
            let (part, whole) = (i64::from(cell.first), i64::from(cell.runs));
            [(232, 46), (220, 150), (90, 84)].map(|(from, to): (i64, i64)| {
                u8::try_from(from + (to - from) * part.min(whole) / whole).unwrap_or_default()
            })
        }
    }
}

/// The picture, drawn.
fn draw(matrix: &Matrix) -> Canvas {
    let (axis, groups) = (Axis::of(matrix), groups(matrix));
    let name = groups.iter().map(|group| group.name.len()).max().unwrap_or_default() * LETTER + MARGIN;
    let legend = [
        (colour(&Cell { way: Way::Punch, runs: 1, upgraded: 1, first: 1, wrong: 0 }), "UPGRADED, ALL ON THE FIRST TRY"),
        (colour(&Cell { way: Way::Punch, runs: 1, upgraded: 1, first: 0, wrong: 0 }), "UPGRADED, MORE TRIES"),
        (NEVER, "NONE, THEORY SAYS NONE"),
        (WRONG, "NOT AS IT SHOULD BE"),
    ];
    let side = name + axis.len() + 2 * MARGIN;
    let longest = legend.iter().map(|(_, text)| text.len()).chain([HEADING.len()]).max().unwrap_or_default();
    let least = longest * LETTER + 5 * MARGIN;
    let mut canvas = Canvas::new(side.max(least), side + (legend.len() + 2) * 2 * BLOCK);
    for group in &groups {
        let (from, _) = axis.0[group.from];
        let (to, last) = axis.0[group.from + group.count - 1];
        let middle = (from + to + last).saturating_sub(5 * DOT) / 2;
        canvas.write((MARGIN, name + MARGIN + middle), &group.name, false);
        canvas.write((name + MARGIN + middle, name + MARGIN / 2), &group.name, true);
    }
    for (a, (y, height)) in axis.0.iter().enumerate() {
        for (b, (x, width)) in axis.0.iter().enumerate() {
            let place = (name + MARGIN + x, name + MARGIN + y);
            canvas.fill(place, (*width, *height), colour(matrix.cell(a, b)));
        }
    }
    let mut y = side + MARGIN;
    canvas.write((MARGIN, y), HEADING, false);
    for (colour, text) in legend {
        y += 2 * BLOCK;
        canvas.fill((MARGIN, y), (BLOCK, BLOCK), colour);
        canvas.write((MARGIN + 2 * BLOCK, y + 1), text, false);
    }
    canvas
}

/// Writes it as a PNG file.
pub(crate) fn write(matrix: &Matrix, out: impl Write) -> Result<(), png::EncodingError> {
    let canvas = draw(matrix);
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(out, size(canvas.width), size(canvas.height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&canvas.pixels)
}

/// A letter of 3 x 5 dots: the first row in the highest three bits.
const fn glyph(letter: char) -> u16 {
    match letter.to_ascii_uppercase() {
        'A' => 0b010_101_111_101_101,
        'B' => 0b110_101_110_101_110,
        'C' => 0b011_100_100_100_011,
        'D' => 0b110_101_101_101_110,
        'E' => 0b111_100_110_100_111,
        'F' => 0b111_100_110_100_100,
        'G' => 0b011_100_101_101_011,
        'H' => 0b101_101_111_101_101,
        'I' => 0b111_010_010_010_111,
        'L' => 0b100_100_100_100_111,
        'M' => 0b101_111_111_101_101,
        'N' => 0b110_101_101_101_101,
        'O' => 0b010_101_101_101_010,
        'P' => 0b110_101_110_100_100,
        'R' => 0b110_101_110_101_101,
        'S' => 0b011_100_010_001_110,
        'T' => 0b111_010_010_010_010,
        'U' => 0b101_101_101_101_111,
        'V' => 0b101_101_101_101_010,
        'W' => 0b101_101_111_111_101,
        'X' => 0b101_101_010_101_101,
        'Y' => 0b101_101_010_010_010,
        '+' => 0b000_010_111_010_000,
        '.' => 0b000_000_000_000_010,
        ',' => 0b000_000_000_010_100,
        ':' => 0b000_010_000_010_000,
        ' ' => 0,
        // What has no glyph.
        _ => 0b111_111_111_111_111,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{front, matrix};
    use std::time::Duration;

    #[test]
    fn all_names_have_letters() {
        let all = front::nats().into_iter().chain(front::others());
        let strange = |letter| glyph(letter) == glyph('#');
        let without: Vec<String> = all.map(|named| named.group).filter(|group| group.chars().any(strange)).collect();
        assert_eq!(without, [""; 0]);
    }

    #[test]
    fn the_picture_can_be_read_back() {
        let order =
            matrix::Order { fronts: front::others(), seeds: 1, jobs: 1, limit: Some(Duration::ZERO), progress: false };
        let matrix = matrix::run(&order);
        let mut file = Vec::new();
        write(&matrix, &mut file).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, draw(&matrix).pixels);
    }
}
