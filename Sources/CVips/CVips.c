#include "CVips.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

// libvips counts references; what a function makes on the way is kept in a row of slots and released together.
#define SLOTS 24
typedef struct {
  VipsImage *slot[SLOTS];
  int used;
} Scope;

static VipsImage **next(Scope *scope) { return &scope->slot[scope->used++]; }

// image = function(image, ...), or on to `failed`.
#define APPLY(function, ...)                                                   \
  do {                                                                         \
    VipsImage **made = next(&scope);                                           \
    if (function(image, made __VA_OPT__(, ) __VA_ARGS__, NULL)) goto failed;   \
    image = *made;                                                             \
  } while (0)

static void leave(Scope *scope) {
  for (int i = 0; i < scope->used; i++) {
    if (scope->slot[i]) g_object_unref(scope->slot[i]);
  }
}

// The library has one error text for the whole process; several threads may add to it.
static CVError failure(void) {
  char *text = vips_error_buffer_copy();
  char *copy = strdup(text[0] ? text : "libvips gave no reason");
  g_free(text);
  for (char *c = copy; *c; c++) {
    if (*c == '\n') *c = c[1] ? ';' : '\0';
  }
  return copy;
}

void cv_free(void *memory) { free(memory); }

CVError cv_start(void) {
  if (vips_init("gpt4mm")) return failure();
  vips_block_untrusted_set(TRUE);
  vips_cache_set_max(0);
  vips_concurrency_set(1);
  return NULL;
}

const char *cv_version(void) { return vips_version_string(); }

static const char *const formats[][2] = {
    {"jpeg", "VipsForeignLoadJpegBuffer"}, {"png", "VipsForeignLoadPngBuffer"}, {"webp", "VipsForeignLoadWebpBuffer"},
    {"gif", "VipsForeignLoadNsgifBuffer"}, {"tiff", "VipsForeignLoadTiffBuffer"}, {"heif", "VipsForeignLoadHeifBuffer"},
};
#define FORMAT_COUNT (sizeof formats / sizeof formats[0])

bool cv_can_read(const char *format) {
  for (size_t i = 0; i < FORMAT_COUNT; i++) {
    if (strcmp(formats[i][0], format) == 0) return g_type_from_name(formats[i][1]) != 0;
  }
  return false;
}

CVError cv_copy(const uint8_t *data, int32_t width, int32_t height, int32_t bands, CVPixels *result) {
  size_t size = (size_t)width * height * bands;
  result->data = malloc(size);
  if (!result->data) return strdup("there is not enough memory for the picture");
  memcpy(result->data, data, size);
  result->width = width;
  result->height = height;
  result->bands = bands;
  return NULL;
}

// Copies an image's pixels out; it must be of 8 bits.
static CVError copy_out(VipsImage *image, CVPixels *result) {
  size_t size = 0;
  void *memory = vips_image_write_to_memory(image, &size);
  if (!memory) return failure();
  CVError error = cv_copy(
      memory, vips_image_get_width(image), vips_image_get_height(image), vips_image_get_bands(image), result);
  g_free(memory);
  return error;
}

static VipsImage *wrap(const CVPixels *pixels) {
  VipsImage *image = vips_image_new_from_memory(
      pixels->data, (size_t)pixels->width * pixels->height * pixels->bands, pixels->width, pixels->height,
      pixels->bands, VIPS_FORMAT_UCHAR);
  if (image) image->Type = VIPS_INTERPRETATION_sRGB;
  return image;
}

CVError cv_decode(const void *bytes, size_t size, int64_t max_pixels, CVPixels *result) {
  vips_error_clear();
  const char *loader = vips_foreign_find_load_buffer(bytes, size);
  bool known = false;
  for (size_t i = 0; i < FORMAT_COUNT && loader; i++) known |= strcmp(formats[i][1], loader) == 0;
  if (!known) {
    vips_error_clear();
    return strdup("its format is not known: JPEG, PNG, WebP, GIF, TIFF, HEIC and AVIF can be read");
  }

  Scope scope = {0};
  CVError error = NULL;
  VipsImage **loaded = next(&scope);
  *loaded = vips_image_new_from_buffer(bytes, size, "", "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL);
  if (!*loaded) {
    error = failure();
  } else if ((int64_t)vips_image_get_width(*loaded) * vips_image_get_height(*loaded) > max_pixels) {
    char text[160];
    snprintf(
        text, sizeof text, "it has %d x %d pixels, but at most %lld in all are allowed", vips_image_get_width(*loaded),
        vips_image_get_height(*loaded), (long long)max_pixels);
    error = strdup(text);
  } else {
    VipsImage *image = *loaded;
    APPLY(vips_autorot);
    if (vips_image_get_typeof(image, VIPS_META_ICC_NAME)) {
      // A broken profile is no reason to refuse the picture: its plain numbers serve.
      VipsImage **converted = next(&scope);
      if (vips_icc_transform(image, converted, "srgb", "embedded", TRUE, "depth", 8, NULL))
        vips_error_clear();
      else
        image = *converted;
    }
    APPLY(vips_colourspace, VIPS_INTERPRETATION_sRGB);
    APPLY(vips_cast_uchar);
    int bands = vips_image_get_bands(image);
    if (bands > 4) {
      APPLY(vips_extract_band, 0, "n", 3);
    } else if (bands < 3) {
      error = strdup("it has no colours that can be shown as red, green and blue");
      goto done;
    }
    error = copy_out(image, result);
    goto done;
  failed:
    error = failure();
  }
done:
  leave(&scope);
  return error;
}

CVError cv_resize(
    const CVPixels *picture, int32_t width, int32_t height, CVResizeMode mode, const double background[3],
    CVPixels *result) {
  vips_error_clear();
  Scope scope = {0};
  CVError error = NULL;
  VipsArrayDouble *colour = vips_array_double_new(background, 3);
  VipsImage *image = *next(&scope) = wrap(picture);
  if (!image) goto failed;
  if (picture->bands == 4) APPLY(vips_flatten, "background", colour);
  switch (mode) {
    case CV_STRETCH:
      APPLY(vips_thumbnail_image, width, "height", height, "size", VIPS_SIZE_FORCE, "no_rotate", TRUE);
      break;
    case CV_CROP:
      APPLY(
          vips_thumbnail_image, width, "height", height, "size", VIPS_SIZE_BOTH, "crop", VIPS_INTERESTING_CENTRE,
          "no_rotate", TRUE);
      break;
    case CV_PAD:
      APPLY(vips_thumbnail_image, width, "height", height, "size", VIPS_SIZE_BOTH, "no_rotate", TRUE);
      APPLY(
          vips_gravity, VIPS_COMPASS_DIRECTION_CENTRE, width, height, "extend", VIPS_EXTEND_BACKGROUND, "background",
          colour);
      break;
  }
  error = copy_out(image, result);
  goto done;
failed:
  error = failure();
done:
  vips_area_unref(VIPS_AREA(colour));
  leave(&scope);
  return error;
}

// SplitMix64 (Steele, Lea & Flood, 2014), to [0, 1).
static double uniform(uint64_t *state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

#define SAMPLES 4  // across a pixel of the view, each way

// Draws the picture over the background, in colours that may pass 0 and 255. One pass of plain arithmetic: on views of
// this size a chain of library calls takes ten times as long to set up as to run.
static void draw(const CVPixels *picture, const CVView *view, uint8_t *out) {
  double radians = view->degrees * 3.14159265358979323846 / 180;
  double c = cos(radians) / view->scale, s = sin(radians) / view->scale;
  uint64_t random = (uint64_t)view->noise_seed;
  for (int y = 0; y < view->height; y++) {
    for (int x = 0; x < view->width; x++) {
      double sum[3] = {0}, alpha = 0;
      for (int i = 0; i < SAMPLES * SAMPLES; i++) {
        double dx = x + (i % SAMPLES + 0.5) / SAMPLES - view->center_x;
        double dy = y + (i / SAMPLES + 0.5) / SAMPLES - view->center_y;
        double u = c * dx + s * dy + picture->width / 2.0, v = c * dy - s * dx + picture->height / 2.0;
        if (u < 0 || v < 0 || u >= picture->width || v >= picture->height) continue;
        int column = view->flip ? picture->width - 1 - (int)u : (int)u;
        const uint8_t *pixel = picture->data + ((size_t)(int)v * picture->width + column) * picture->bands;
        double a = picture->bands == 4 ? pixel[3] / 255.0 : 1;
        for (int band = 0; band < 3; band++) sum[band] += a * pixel[band];
        alpha += a;
      }
      for (int band = 0; band < 3; band++) {
        double behind = view->background[band] + x * view->background_x[band] + y * view->background_y[band];
        double value = (sum[band] + (SAMPLES * SAMPLES - alpha) * behind) / (SAMPLES * SAMPLES);
        value = 127.5 + (value - 127.5) * view->contrast[band] + view->brightness;
        if (view->noise > 0) {
          // Box & Muller, 1958
          double radius = sqrt(-2 * log(1 - uniform(&random)));
          value += view->noise * radius * cos(6.28318530717958647692 * uniform(&random));
        }
        *out++ = value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)(value + 0.5);
      }
    }
  }
}

CVError cv_view(const CVPixels *picture, const CVView *view, CVPixels *result) {
  vips_error_clear();
  CVPixels drawn = {malloc((size_t)3 * view->width * view->height), view->width, view->height, 3};
  if (!drawn.data) return strdup("there is not enough memory for the picture");
  draw(picture, view, drawn.data);
  if (view->blur <= 0 && view->jpeg_quality <= 0) {
    *result = drawn;
    return NULL;
  }

  Scope scope = {0};
  CVError error = NULL;
  void *jpeg = NULL;
  VipsImage *image = *next(&scope) = wrap(&drawn);
  if (!image) goto failed;
  if (view->blur > 0) APPLY(vips_gaussblur, view->blur);
  if (view->jpeg_quality > 0) {
    size_t size = 0;
    if (vips_jpegsave_buffer(image, &jpeg, &size, "Q", view->jpeg_quality, NULL)) goto failed;
    VipsImage **reloaded = next(&scope);
    if (vips_jpegload_buffer(jpeg, size, reloaded, NULL)) goto failed;
    image = *reloaded;
  }
  error = copy_out(image, result);
  goto done;
failed:
  error = failure();
done:
  leave(&scope);
  free(drawn.data);
  g_free(jpeg);
  return error;
}

CVError cv_encode(const CVPixels *picture, const char *suffix, void **bytes, size_t *size) {
  vips_error_clear();
  VipsImage *image = wrap(picture);
  if (!image) return failure();
  void *encoded = NULL;
  int wrong = vips_image_write_to_buffer(image, suffix, &encoded, size, NULL);
  g_object_unref(image);
  if (wrong) return failure();
  *bytes = malloc(*size + 1);
  if (*bytes) memcpy(*bytes, encoded, *size);
  g_free(encoded);
  return *bytes ? NULL : strdup("there is not enough memory for the picture");
}
