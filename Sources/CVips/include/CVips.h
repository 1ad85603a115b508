// libvips behind fixed argument lists: its own functions end in "...", which Swift cannot call.
//
// A function that returns a `VipsImage *` returns a new reference, to be given back with `cvips_release`, or NULL
// after an error, which `cvips_take_error` describes. No function takes over the images that it is given. Images are
// recipes: pixels are computed when they are written to memory or encoded. Everything here may be called from any
// thread once `cvips_start` has returned.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct _VipsImage VipsImage;

/// Starts libvips: loaders that are not meant for untrusted files are blocked, nothing is cached, and each picture is
/// computed by one thread. To be called once, before all else. Returns false on failure.
bool cvips_start(void);

/// Every message since the last call, to be freed with `free`, or NULL if there is none. libvips keeps one buffer for the
/// whole process: where two threads fail at the same moment, the first to ask gets both messages.
char *cvips_take_error(void);

/// Whether this libvips has the operation, for example "heifload_buffer".
bool cvips_has_operation(const char *nickname);

void cvips_release(VipsImage *image);

typedef struct {
  int width;
  int height;
  int bands;
  int bytes_per_sample;
  /// EXIF orientation, 1 to 8; 1 where the file gives none.
  int orientation;
  bool is_float;
  /// Whether the last band is alpha.
  bool has_alpha;
  bool is_cmyk;
  bool has_profile;
  /// Whether pixels are packed (Radiance, LABQ), so that bands, alpha and profile mean nothing yet.
  bool is_packed;
} CVipsHeader;

CVipsHeader cvips_header(VipsImage *image);

// Reading and writing.

/// Opens the first frame with the named loader, which reads the header alone. `bytes` must outlive the image. Pixels are
/// read once, from top to bottom, and a truncated or damaged file is an error. `shrink` (1, 2, 4 or 8) is for JPEG only.
VipsImage *cvips_load(const char *loader, const void *bytes, size_t length, int shrink);
/// Interleaved 8-bit sRGB (3 bands) or sRGB with alpha (4), not copied: `bytes` must outlive the image.
VipsImage *cvips_from_memory(const uint8_t *bytes, size_t length, int width, int height, int bands);
/// Computes every pixel now.
VipsImage *cvips_copy_memory(VipsImage *image);
/// Interleaved pixels in the image's own format, to be freed with `cvips_free`; NULL on error.
void *cvips_to_memory(VipsImage *image, size_t *length);
/// The same at once and by this thread, so that all the images it is made of are in memory too: for small ones, where handing
/// strips from thread to thread takes longer than decoding.
void *cvips_fetch(VipsImage *image, size_t *length);
/// An encoded file, to be freed with `cvips_free`; NULL on error.
void *cvips_to_png(VipsImage *image, size_t *length);
void *cvips_to_jpeg(VipsImage *image, int quality, size_t *length);
void cvips_free(void *bytes);

// Samples and colour.

/// Rounds to 8 bits, values as they are.
VipsImage *cvips_to_uint8(VipsImage *image);
/// Rounds to 16 bits, values as they are.
VipsImage *cvips_to_uint16(VipsImage *image);
/// Keeps the upper 8 of 16 bits.
VipsImage *cvips_upper_byte(VipsImage *image);
VipsImage *cvips_bands(VipsImage *image, int first, int count);
VipsImage *cvips_join(VipsImage *image, VipsImage *more_bands);
/// To 8-bit sRGB from any space, by definition of the space.
VipsImage *cvips_to_srgb(VipsImage *image);
/// To 8-bit sRGB by the embedded profile, or for CMYK without one by libvips' own.
VipsImage *cvips_profile_to_srgb(VipsImage *image, bool is_cmyk);
VipsImage *cvips_premultiply(VipsImage *image);
VipsImage *cvips_unpremultiply(VipsImage *image);
VipsImage *cvips_flatten(VipsImage *image, const double *background);

// Geometry.

typedef enum { CVIPS_NEAREST, CVIPS_LINEAR, CVIPS_CUBIC, CVIPS_LANCZOS } CVipsKernel;

VipsImage *cvips_resize(VipsImage *image, int width, int height, CVipsKernel kernel);
VipsImage *cvips_crop(VipsImage *image, int left, int top, int width, int height);
/// Places the image on a canvas of one colour, given as one value per band.
VipsImage *cvips_embed(
  VipsImage *image, int left, int top, int width, int height, const double *background, int bands);
/// Turns and mirrors by an EXIF orientation, 1 to 8.
VipsImage *cvips_upright(VipsImage *image, int orientation);

/// Blurs by a Gaussian of this standard deviation in pixels.
VipsImage *cvips_blur(VipsImage *image, double sigma);

// Views for training.

/// Interleaved 8-bit samples.
typedef struct {
  const uint8_t *data;
  int width;
  int height;
  int bands;
} CVipsPixels;

/// One random view of a picture.
typedef struct {
  int width, height;         // of the view
  double scale;              // pixels of the view per pixel of the picture
  double degrees;            // clockwise
  double center_x, center_y; // where the picture's centre comes to lie, in pixels of the view
  bool flip;
  double background[3];      // at the view's top left corner
  double background_x[3];    // change per pixel to the right
  double background_y[3];    // change per pixel downwards
  double contrast[3];        // factor per channel, around mid-grey
  double brightness;         // added
  double noise;              // standard deviation, of 255; 0 for none
  uint64_t noise_seed;
} CVipsView;

/// Draws a view: writes `3 * width * height` bytes to `out`.
void cvips_draw_view(const CVipsPixels *picture, const CVipsView *view, uint8_t *out);

#ifdef __cplusplus
}
#endif
