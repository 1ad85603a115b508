#include "CVips.h"

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
static VipsImage *last(Scope *scope) { return scope->slot[scope->used - 1]; }

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
    if (vips_autorot(image, next(&scope), NULL)) goto failed;
    image = last(&scope);
    if (vips_image_get_typeof(image, VIPS_META_ICC_NAME)) {
      // A broken profile is no reason to refuse the picture: its plain numbers serve.
      if (!vips_icc_transform(image, next(&scope), "srgb", "embedded", TRUE, "depth", 8, NULL))
        image = last(&scope);
      else
        vips_error_clear();
    }
    if (vips_colourspace(image, next(&scope), VIPS_INTERPRETATION_sRGB, NULL)) goto failed;
    image = last(&scope);
    if (vips_cast_uchar(image, next(&scope), NULL)) goto failed;
    image = last(&scope);
    int bands = vips_image_get_bands(image);
    if (bands > 4) {
      if (vips_extract_band(image, next(&scope), 0, "n", 3, NULL)) goto failed;
      image = last(&scope);
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
  VipsImage *image = *next(&scope) = wrap(picture);
  if (!image) goto failed;
  VipsArrayDouble *colour = vips_array_double_new(background, 3);
  if (picture->bands == 4) {
    if (vips_flatten(image, next(&scope), "background", colour, NULL)) goto release;
    image = last(&scope);
  }
  int wrong = 0;
  switch (mode) {
    case CV_STRETCH:
      wrong = vips_thumbnail_image(
          image, next(&scope), width, "height", height, "size", VIPS_SIZE_FORCE, "no_rotate", TRUE, NULL);
      break;
    case CV_CROP:
      wrong = vips_thumbnail_image(
          image, next(&scope), width, "height", height, "size", VIPS_SIZE_BOTH, "crop", VIPS_INTERESTING_CENTRE,
          "no_rotate", TRUE, NULL);
      break;
    case CV_PAD:
      wrong = vips_thumbnail_image(
          image, next(&scope), width, "height", height, "size", VIPS_SIZE_BOTH, "no_rotate", TRUE, NULL);
      if (!wrong) {
        wrong = vips_gravity(
            last(&scope), next(&scope), VIPS_COMPASS_DIRECTION_CENTRE, width, height, "extend",
            VIPS_EXTEND_BACKGROUND, "background", colour, NULL);
      }
      break;
  }
  if (!wrong) error = copy_out(last(&scope), result);
  if (wrong) error = failure();
  vips_area_unref(VIPS_AREA(colour));
  leave(&scope);
  return error;
release:
  vips_area_unref(VIPS_AREA(colour));
failed:
  error = failure();
  leave(&scope);
  return error;
}

CVError cv_view(const CVPixels *picture, const CVView *view, CVPixels *result) {
  vips_error_clear();
  Scope scope = {0};
  CVError error = NULL;
  void *jpeg = NULL;
  VipsImage *image = *next(&scope) = wrap(picture);
  if (!image) goto failed;
  if (picture->bands == 3) {
    if (vips_bandjoin_const1(image, next(&scope), 255, NULL)) goto failed;
    image = last(&scope);
  }
  if (view->flip) {
    if (vips_flip(image, next(&scope), VIPS_DIRECTION_HORIZONTAL, NULL)) goto failed;
    image = last(&scope);
  }
  // Premultiplied, so that transparent pixels lend no colour to their neighbours.
  if (vips_premultiply(image, next(&scope), NULL)) goto failed;
  if (vips_resize(last(&scope), next(&scope), view->scale, "kernel", VIPS_KERNEL_LINEAR, NULL)) goto failed;
  image = last(&scope);
  double radians = view->degrees * 3.14159265358979323846 / 180;
  double c = cos(radians), s = sin(radians);
  double x = vips_image_get_width(image) / 2.0, y = vips_image_get_height(image) / 2.0;
  VipsArrayInt *area = vips_array_int_newv(4, 0, 0, view->width, view->height);
  VipsInterpolate *bilinear = vips_interpolate_new("bilinear");
  int wrong = vips_affine(
      image, next(&scope), c, -s, s, c, "oarea", area, "interpolate", bilinear, "premultiplied", TRUE, "odx",
      view->center_x - (c * x - s * y), "ody", view->center_y - (s * x + c * y), NULL);
  vips_area_unref(VIPS_AREA(area));
  g_object_unref(bilinear);
  if (wrong) goto failed;
  VipsImage *drawn = last(&scope);

  // background(x, y) = corner + x · change per column + y · change per row
  double slopes[6];
  for (int i = 0; i < 3; i++) {
    slopes[2 * i] = view->background_x[i];
    slopes[2 * i + 1] = view->background_y[i];
  }
  VipsImage *matrix = *next(&scope) = vips_image_new_matrix_from_array(2, 3, slopes, 6);
  if (!matrix || vips_xyz(next(&scope), view->width, view->height, NULL)) goto failed;
  if (vips_recomb(last(&scope), next(&scope), matrix, NULL)) goto failed;
  double ones[3] = {1, 1, 1};
  if (vips_linear(last(&scope), next(&scope), ones, view->background, 3, NULL)) goto failed;
  VipsImage *background = last(&scope);

  // drawn + background · (1 - alpha)
  if (vips_extract_band(drawn, next(&scope), 3, NULL)) goto failed;
  if (vips_linear1(last(&scope), next(&scope), -1 / 255.0, 1, NULL)) goto failed;
  if (vips_multiply(background, last(&scope), next(&scope), NULL)) goto failed;
  background = last(&scope);
  if (vips_extract_band(drawn, next(&scope), 0, "n", 3, NULL)) goto failed;
  if (vips_add(last(&scope), background, next(&scope), NULL)) goto failed;

  if (view->blur > 0 && vips_gaussblur(last(&scope), next(&scope), view->blur, NULL)) goto failed;
  double offsets[3];
  for (int i = 0; i < 3; i++) offsets[i] = 127.5 * (1 - view->contrast[i]) + view->brightness;
  if (vips_linear(last(&scope), next(&scope), view->contrast, offsets, 3, NULL)) goto failed;
  if (view->noise > 0) {
    image = last(&scope);
    if (vips_gaussnoise(
            next(&scope), view->width, view->height, "mean", 0.0, "sigma", view->noise, "seed", view->noise_seed, NULL))
      goto failed;
    if (vips_add(image, last(&scope), next(&scope), NULL)) goto failed;
  }
  if (vips_cast_uchar(last(&scope), next(&scope), NULL)) goto failed;
  image = last(&scope);
  if (view->jpeg_quality > 0) {
    size_t size = 0;
    image->Type = VIPS_INTERPRETATION_sRGB;
    if (vips_jpegsave_buffer(image, &jpeg, &size, "Q", view->jpeg_quality, NULL)) goto failed;
    if (vips_jpegload_buffer(jpeg, size, next(&scope), NULL)) goto failed;
    image = last(&scope);
  }
  error = copy_out(image, result);
  leave(&scope);
  g_free(jpeg);
  return error;
failed:
  error = failure();
  leave(&scope);
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
