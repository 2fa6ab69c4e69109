import numpy as np
import pytest
import torch
from PIL import Image

from extract.decoding import LARGEST_PICTURE, decode, to_rgb
from extract.errors import UnusableSampleError
from extract.images import ImageFile
from tests.images import broken_contents, encoded, picture


def same(found, expected, apart=0):
    assert (found.mode, found.size) == ("RGB", expected.size)
    np.testing.assert_allclose(np.asarray(found, int), np.asarray(expected.convert("RGB"), int), atol=apart)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000", "TGA"])
def test_a_picture_comes_out_of_every_lossless_kind_of_file(kind):
    settings = {"lossless": True} if kind == "WEBP" else {}
    same(decode(encoded(picture(), kind, **settings)), picture())


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "MPO"])
def test_and_nearly_so_out_of_a_lossy_one(kind):
    same(decode(encoded(picture(), kind, quality=95)), picture(), apart=24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_s_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture()
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    expected = stored.transpose(turned[orientation]) if orientation in turned else stored
    same(decode(encoded(stored, "PNG", exif=exif)), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_other_modes_come_out_as_pil_converts_them(mode):
    image = picture(mode="RGB").convert(mode)
    content = encoded(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    same(decode(content), image, apart=2 if mode == "YCbCr" else 0)


def test_a_palette_with_transparency_is_read_in_silence(recwarn):
    image = picture().convert("P", palette=Image.Palette.ADAPTIVE)
    same(decode(encoded(image, "PNG", transparency=bytes(range(256)))), image)
    assert not recwarn


def test_an_alpha_channel_is_dropped_and_not_blended():
    image = picture()
    transparent = image.copy()
    transparent.putalpha(0)
    same(decode(encoded(transparent)), image)


def test_sixteen_bit_greyscale_is_scaled_and_not_cut_off():
    grey = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    found = np.asarray(decode(encoded(Image.fromarray(grey))))
    assert np.array_equal(found[..., 0], np.rint(grey / 257))
    assert np.array_equal(np.asarray(decode(encoded(Image.fromarray(grey), "TIFF"))), found)


def test_floating_point_greyscale_is_scaled():
    grey = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    assert np.array_equal(np.asarray(decode(encoded(Image.fromarray(grey), "TIFF")))[..., 1], np.rint(grey * 255))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind):
    frames = [picture(seed) for seed in range(3)]
    settings = {"lossless": True} if kind == "WEBP" else {}
    found = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **settings))
    same(found, frames[0], apart=40 if kind == "GIF" else 0)  # a GIF has 256 colours


@pytest.mark.parametrize("name", broken_contents())
def test_what_cannot_be_used_is_refused_with_a_reason_of_one_line(name):
    with pytest.raises(UnusableSampleError) as caught:
        decode(broken_contents()[name])
    assert "\n" not in str(caught.value)
    expected = {"empty.jpg": "no bytes", "text.jpg": "not an image", "truncated.png": "truncated", "bomb.png": "larger than"}
    assert expected.get(name, "") in str(caught.value)


def test_an_array_that_is_too_large_is_refused():
    with pytest.raises(UnusableSampleError, match="larger than 100,000,000 pixels"):
        to_rgb(np.broadcast_to(np.uint8(0), (LARGEST_PICTURE, 2)))


def test_arrays_and_tensors_of_every_type_give_the_same_picture():
    image = picture()
    array = np.asarray(image)
    same(to_rgb(array), image)
    same(to_rgb(torch.from_numpy(array.copy()).permute(2, 0, 1)), image)
    same(to_rgb(array / 255), image)
    same(to_rgb(torch.from_numpy(array / np.float32(255)).permute(2, 0, 1)), image)
    same(to_rgb(array.astype(np.uint16) * 257), image)
    grey = image.convert("L")
    for values in (np.asarray(grey), np.asarray(grey)[..., None], torch.from_numpy(np.array(grey))[None]):
        same(to_rgb(values), grey)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((3, 20, 20), np.uint8), r"shape \[3, 20, 20\]; expected \[h, w\] or \[h, w, c\]"),
        (torch.zeros(20, 20, 3), r"shape \[20, 20, 3\]; expected \[h, w\] or \[c, h, w\]"),
        (np.zeros((0, 20), np.uint8), "shape"),
        (np.zeros(20, np.uint8), "shape"),
        (np.full((4, 4), 200.0), "outside 0 to 1"),
        (np.full((4, 4), np.nan), "outside 0 to 1"),
        (np.zeros((4, 4), np.int64), "pixels of type int64"),
        (np.zeros((4, 4), complex), "pixels of type complex128"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(values, reason):
    with pytest.raises(UnusableSampleError, match=reason):
        to_rgb(values)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnusableSampleError, match="there is no such file"):
        decode(ImageFile(str(tmp_path / "gone.jpg")))
