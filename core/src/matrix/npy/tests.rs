use proptest::prelude::*;

use super::*;

fn file(version: [u8; 2], header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(version);
    if version[0] == 1 {
        out.extend((header.len() as u16).to_le_bytes());
    } else {
        out.extend((header.len() as u32).to_le_bytes());
    }
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

fn header(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}   \n")
}

fn f64_of(bytes: &[u8]) -> Matrix<f64> {
    parse_npy(bytes, 1000).unwrap().0.into_f64().unwrap()
}

#[test]
fn every_element_type_and_order_is_read() {
    let expected = Matrix::from_rows(&[[1.0, 2.0, 3.0], [4.0, 5.0, -6.0]], 6).unwrap();
    let c_order = [1i32, 2, 3, 4, 5, -6];
    let fortran = [1i32, 4, 2, 5, 3, -6];
    let bytes = |values: &[i32], descr: &str| -> Vec<u8> {
        let one = |&v: &i32| match descr {
            "<f4" => (v as f32).to_le_bytes().to_vec(),
            "<f8" => f64::from(v).to_le_bytes().to_vec(),
            "<i4" => v.to_le_bytes().to_vec(),
            _ => i64::from(v).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(one).collect()
    };
    for descr in ["<f4", "<f8", "<i4", "<i8"] {
        for version in [[1, 0], [2, 0], [3, 0]] {
            let c = file(
                version,
                &header(descr, "False", "(2, 3)"),
                &bytes(&c_order, descr),
            );
            let f = file(
                version,
                &header(descr, "True", "(2, 3)"),
                &bytes(&fortran, descr),
            );
            assert_eq!(f64_of(&c), expected, "{descr}");
            assert_eq!(f64_of(&f), expected, "{descr}");
        }
    }
    let row = file(
        [1, 0],
        &header("<i4", "False", "(6,)"),
        &bytes(&c_order, "<i4"),
    );
    assert_eq!((f64_of(&row).rows(), f64_of(&row).cols()), (1, 6));
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = |bytes: &[u8]| parse_npy(bytes, 100).unwrap_err().to_string();
    let with =
        |descr, shape, data: &[u8]| error(&file([1, 0], &header(descr, "False", shape), data));
    assert!(error(b"PK\x03\x04").contains("not an .npy array"));
    assert!(error(b"\x93NUM").contains("10 bytes needed, 4 given"));
    assert!(error(b"\x93NUMPY\x04\x00\x00\x00").contains("version 4.0"));
    assert!(with(">f8", "(1, 1)", &[0; 8]).contains("\">f8\""));
    assert!(with("|O", "(1, 1)", &[0; 8]).contains("\"|O\""));
    assert!(with("<f8", "(1, 1, 1)", &[0; 8]).contains("3 dimensions"));
    assert!(with("<f8", "()", &[0; 8]).contains("0 dimensions"));
    assert!(with("<f8", "(0, 3)", &[]).contains("at least one row"));
    assert!(with("<f8", "(101, 1)", &[]).contains("limit of 100"));
    assert!(with("<f8", "(18446744073709551615, 9)", &[]).contains("limit of 100"));
    assert!(with("<f8", "(99999999999999999999, 9)", &[]).contains("below 2^64"));
    assert!(with("<f8", "(-1, 9)", &[]).contains("numbers"));
    assert!(with("<f8", "(2, 1)", &[0; 15]).contains("cut short"));
    let huge = (1i64 << 53) + 1;
    assert!(with("<i8", "(1, 1)", &huge.to_le_bytes()).contains("beyond 2^53"));
    let nan = [1.0f64.to_le_bytes(), f64::NAN.to_le_bytes()].concat();
    assert!(with("<f8", "(2, 1)", &nan).contains("row 1, column 0"));
    let fortran = file([1, 0], &header("<f8", "True", "(2, 1)"), &nan);
    assert!(error(&fortran).contains("row 1, column 0"));
    let long = file([2, 0], &" ".repeat(10_001), &[]);
    assert!(error(&long).contains("longer than"));
    let structure = "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }";
    assert!(error(&file([1, 0], structure, &[0; 8])).contains("a structure"));
}

#[test]
fn elements_start_at_a_multiple_of_64() {
    let mut bytes = Vec::new();
    write_npy(&Matrix::<f32>::zeros(3, 5, 15).unwrap(), &mut bytes);
    assert_eq!((bytes.len() - 60) % 64, 0);
    assert_eq!(bytes[bytes.len() - 61], b'\n');
}

proptest! {
    #[test]
    fn arrays_one_after_the_other_come_back(
        shapes in prop::collection::vec((1usize..9, 1usize..9), 1..5),
    ) {
        let mut bytes = Vec::new();
        for &(r, c) in &shapes {
            let data: Vec<f64> = (0..r * c).map(|i| i as f64 / 3.0).collect();
            let m = Matrix::from_vec(r, c, data, 100).unwrap();
            write_npy(&m, &mut bytes);
            write_npy(&m.convert::<f32>().unwrap(), &mut bytes);
        }
        let mut rest = &bytes[..];
        for &(r, c) in &shapes {
            let (double, used) = parse_npy(rest, 100).unwrap();
            let (single, then) = parse_npy(&rest[used..], 100).unwrap();
            rest = &rest[used + then..];
            let NpyMatrix::F64(double) = double else { panic!("f64 written") };
            prop_assert_eq!((double.rows(), double.cols()), (r, c));
            prop_assert_eq!(single, NpyMatrix::F32(double.convert().unwrap()));
        }
        prop_assert!(rest.is_empty());
        for end in 0..bytes.len().min(200) {
            let _ = parse_npy(&bytes[..end], 100);
        }
    }

    #[test]
    fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..120), text in "[{}'(),:a-z<0-9 ]{0,60}") {
        let _ = parse_npy(&[MAGIC, &[1, 0], &tail].concat(), 100);
        let _ = parse_npy(&file([1, 0], &text, &tail), 100);
    }
}
