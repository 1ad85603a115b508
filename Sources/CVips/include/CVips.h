#pragma once

// Plain C functions over libvips, whose own are variadic and so invisible to Swift. Functions that can fail return
// NULL, or an error's text that the caller frees with cv_free.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// NULL, or a message to be freed with cv_free.
typedef char *CVError;

/// Pixels in memory, `bands` bytes each, row by row; freed with cv_free.
typedef struct {
  uint8_t *data;
  int32_t width;
  int32_t height;
  int32_t bands;
} CVPixels;

typedef enum { CV_STRETCH, CV_CROP, CV_PAD } CVResizeMode;

/// One random view of a picture.
typedef struct {
  int32_t width, height;     // of the view
  double scale;              // pixels of the view per pixel of the picture
  double degrees;            // clockwise
  double center_x, center_y;  // where the picture's centre comes to lie, in pixels of the view
  bool flip;
  double background[3];       // at the view's top left corner
  double background_x[3];     // change per pixel to the right
  double background_y[3];     // change per pixel downwards
  double contrast[3];         // factor per channel, around mid-grey
  double brightness;          // added
  double blur;                // standard deviation in pixels; 0 for none
  double noise;               // standard deviation, of 255; 0 for none
  int32_t noise_seed;
  int32_t jpeg_quality;  // 1 to 100; 0 for none
} CVView;

void cv_free(void *memory);

CVError cv_copy(const uint8_t *data, int32_t width, int32_t height, int32_t bands, CVPixels *result);

/// Starts the library with loaders that are not fit for untrusted files blocked. Called once, first.
CVError cv_start(void);
const char *cv_version(void);
/// Whether the library can read a format: "jpeg", "png", "webp", "gif", "tiff", "heif".
bool cv_can_read(const char *format);

/// Reads a picture's size and then its pixels as sRGB, upright, 3 bands or 4 with alpha.
/// @param max_pixels a picture of more is refused before it is decoded
CVError cv_decode(const void *bytes, size_t size, int64_t max_pixels, CVPixels *result);

/// Lays a picture over a background and resizes it to exactly width x height, 3 bands.
CVError cv_resize(
    const CVPixels *picture, int32_t width, int32_t height, CVResizeMode mode, const double background[3],
    CVPixels *result);

/// Draws a view of a picture, 3 bands.
CVError cv_view(const CVPixels *picture, const CVView *view, CVPixels *result);

/// Encodes 3 or 4 bands in the format of a suffix such as ".png" or ".jpg"; freed with cv_free.
CVError cv_encode(const CVPixels *picture, const char *suffix, void **bytes, size_t *size);
