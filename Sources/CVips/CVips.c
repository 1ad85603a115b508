#include "CVips.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>
// Needs what vips.h declares.
#include <vips/vector.h>

// libvips comes with a hundred libraries, which take 19 MB and 70 ms, so it is loaded when the first picture comes, and all that is
// called of it is found by name.
#if defined(__APPLE__)
#define LIBRARY "libvips.42.dylib"
#else
#define LIBRARY "libvips.so.42"
#endif

#define FUNCTIONS(each) \
  each(g_free) each(g_log_set_handler) each(g_object_unref) each(vips_affine) each(vips_area_unref) \
  each(vips_array_double_new) each(vips_array_int_new) each(vips_band_format_iscomplex) \
  each(vips_band_format_isfloat) each(vips_bandjoin2) each(vips_blob_new) each(vips_block_untrusted_set) \
  each(vips_cache_set_max) each(vips_call) each(vips_cast) each(vips_colourspace) each(vips_concurrency_set) \
  each(vips_copy) each(vips_embed) each(vips_error_buffer_copy) each(vips_extract_area) each(vips_extract_band) \
  each(vips_flatten) each(vips_flip) each(vips_format_sizeof) each(vips_gaussblur) each(vips_icc_transform) \
  each(vips_image_copy_memory) each(vips_image_get_bands) each(vips_image_get_coding) \
  each(vips_image_get_format) each(vips_image_get_height) each(vips_image_get_interpretation) \
  each(vips_image_get_orientation) each(vips_image_get_typeof) each(vips_image_get_width) \
  each(vips_image_hasalpha) each(vips_image_new_from_memory) each(vips_image_write_to_memory) each(vips_init) \
  each(vips_interpolate_new) each(vips_jpegsave_buffer) each(vips_pngsave_buffer) each(vips_premultiply) \
  each(vips_region_fetch) each(vips_region_new) each(vips_resize) each(vips_rint) each(vips_rot) \
  each(vips_type_find) each(vips_unpremultiply) each(vips_vector_set_enabled) each(vips_version)

static struct {
#define MEMBER(name) __typeof__(name) *name;
  FUNCTIONS(MEMBER)
} lib;

// Why there is no libvips.
static char *load_failure;

static bool load(void) {
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
#define FIND(name) \
  if (library != NULL && (lib.name = (__typeof__(name) *)dlsym(library, #name)) == NULL) library = NULL;
  FUNCTIONS(FIND)
  if (library != NULL) return true;
  const char *reason = dlerror();
  load_failure = strdup(reason != NULL ? reason : LIBRARY);
  return false;
}

static void drop_warning(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data) {
  (void)domain, (void)level, (void)message, (void)data;
}

bool cvips_start(void) {
  if (!load() || lib.vips_init("gpt4mm") != 0) return false;
  lib.vips_block_untrusted_set(TRUE);
  lib.vips_cache_set_max(0);
  lib.vips_concurrency_set(1);
  // Before 8.15 libvips vectorises with Orc, which corrupts the heap when several threads free programs at once
  // (orc_code_chunk_free takes no lock in Orc 0.4.33).
  if (lib.vips_version(0) == 8 && lib.vips_version(1) < 15) lib.vips_vector_set_enabled(FALSE);
  // A loader's remarks on a file would otherwise land on the program's stderr.
  lib.g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_INFO, drop_warning, NULL);
  return true;
}

char *cvips_take_error(void) {
  if (load_failure != NULL) return strdup(load_failure);
  char *copied = lib.vips_error_buffer_copy();
  char *result = copied != NULL && *copied != '\0' ? strdup(copied) : NULL;
  lib.g_free(copied);
  return result;
}

bool cvips_has_operation(const char *nickname) { return lib.vips_type_find("VipsOperation", nickname) != 0; }

void cvips_release(VipsImage *image) { lib.g_object_unref(image); }

CVipsHeader cvips_header(VipsImage *image) {
  VipsBandFormat format = lib.vips_image_get_format(image);
  bool is_packed = lib.vips_image_get_coding(image) != VIPS_CODING_NONE;
  return (CVipsHeader){
    .width = lib.vips_image_get_width(image),
    .height = lib.vips_image_get_height(image),
    .bands = lib.vips_image_get_bands(image),
    .bytes_per_sample = (int)lib.vips_format_sizeof(format),
    .orientation = lib.vips_image_get_orientation(image),
    .is_float = lib.vips_band_format_isfloat(format) || lib.vips_band_format_iscomplex(format),
    .has_alpha = !is_packed && lib.vips_image_hasalpha(image),
    .is_cmyk = lib.vips_image_get_interpretation(image) == VIPS_INTERPRETATION_CMYK,
    .has_profile = !is_packed && lib.vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0,
    .is_packed = is_packed,
  };
}

// MARK: - Reading and writing

VipsImage *cvips_load(const char *loader, const void *bytes, size_t length, int shrink) {
  VipsBlob *blob = lib.vips_blob_new(NULL, bytes, length);
  VipsImage *out = NULL;
  int failed = shrink > 1
    ? lib.vips_call(
        loader, blob, &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR, "shrink", shrink, NULL)
    : lib.vips_call(loader, blob, &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR, NULL);
  lib.vips_area_unref((VipsArea *)blob);
  return failed ? NULL : out;
}

VipsImage *cvips_from_memory(const uint8_t *bytes, size_t length, int width, int height, int bands) {
  VipsImage *raw = lib.vips_image_new_from_memory(bytes, length, width, height, bands, VIPS_FORMAT_UCHAR);
  if (raw == NULL) return NULL;
  VipsImage *out = NULL;
  int failed = lib.vips_copy(raw, &out, "interpretation", VIPS_INTERPRETATION_sRGB, NULL);
  lib.g_object_unref(raw);
  return failed ? NULL : out;
}

VipsImage *cvips_copy_memory(VipsImage *image) { return lib.vips_image_copy_memory(image); }

void *cvips_to_memory(VipsImage *image, size_t *length) { return lib.vips_image_write_to_memory(image, length); }

void *cvips_fetch(VipsImage *image, size_t *length) {
  VipsRegion *region = lib.vips_region_new(image);
  void *bytes = lib.vips_region_fetch(region, 0, 0, lib.vips_image_get_width(image), lib.vips_image_get_height(image), length);
  lib.g_object_unref(region);
  return bytes;
}

void *cvips_to_png(VipsImage *image, size_t *length) {
  void *bytes = NULL;
  return lib.vips_pngsave_buffer(image, &bytes, length, "strip", TRUE, NULL) ? NULL : bytes;
}

void *cvips_to_jpeg(VipsImage *image, int quality, size_t *length) {
  void *bytes = NULL;
  return lib.vips_jpegsave_buffer(image, &bytes, length, "Q", quality, "strip", TRUE, NULL) ? NULL : bytes;
}

void cvips_free(void *bytes) { lib.g_free(bytes); }

// MARK: - Samples and colour

static VipsImage *rounded(VipsImage *image, VipsBandFormat format) {
  VipsImage *whole = NULL, *out = NULL;
  if (lib.vips_rint(image, &whole, NULL)) return NULL;
  int failed = lib.vips_cast(whole, &out, format, NULL);
  lib.g_object_unref(whole);
  return failed ? NULL : out;
}

VipsImage *cvips_to_uint8(VipsImage *image) { return rounded(image, VIPS_FORMAT_UCHAR); }

VipsImage *cvips_to_uint16(VipsImage *image) { return rounded(image, VIPS_FORMAT_USHORT); }

VipsImage *cvips_upper_byte(VipsImage *image) {
  VipsImage *out = NULL;
  return lib.vips_cast(image, &out, VIPS_FORMAT_UCHAR, "shift", TRUE, NULL) ? NULL : out;
}

VipsImage *cvips_bands(VipsImage *image, int first, int count) {
  VipsImage *out = NULL;
  return lib.vips_extract_band(image, &out, first, "n", count, NULL) ? NULL : out;
}

VipsImage *cvips_join(VipsImage *image, VipsImage *more_bands) {
  VipsImage *out = NULL;
  return lib.vips_bandjoin2(image, more_bands, &out, NULL) ? NULL : out;
}

VipsImage *cvips_to_srgb(VipsImage *image) {
  VipsImage *out = NULL;
  return lib.vips_colourspace(image, &out, VIPS_INTERPRETATION_sRGB, NULL) ? NULL : out;
}

VipsImage *cvips_profile_to_srgb(VipsImage *image, bool is_cmyk) {
  VipsImage *out = NULL;
  int failed = is_cmyk
    ? lib.vips_icc_transform(image, &out, "srgb", "embedded", TRUE, "input_profile", "cmyk", NULL)
    : lib.vips_icc_transform(image, &out, "srgb", "embedded", TRUE, NULL);
  return failed ? NULL : out;
}

VipsImage *cvips_premultiply(VipsImage *image) {
  VipsImage *out = NULL;
  return lib.vips_premultiply(image, &out, NULL) ? NULL : out;
}

VipsImage *cvips_unpremultiply(VipsImage *image) {
  VipsImage *out = NULL;
  return lib.vips_unpremultiply(image, &out, NULL) ? NULL : out;
}

VipsImage *cvips_flatten(VipsImage *image, const double *background) {
  VipsArrayDouble *colour = lib.vips_array_double_new(background, 3);
  VipsImage *out = NULL;
  int failed = lib.vips_flatten(image, &out, "background", colour, NULL);
  lib.vips_area_unref((VipsArea *)colour);
  return failed ? NULL : out;
}

// MARK: - Geometry

static VipsKernel kernel_of(CVipsKernel kernel) {
  switch (kernel) {
  case CVIPS_NEAREST: return VIPS_KERNEL_NEAREST;
  case CVIPS_LINEAR: return VIPS_KERNEL_LINEAR;
  case CVIPS_CUBIC: return VIPS_KERNEL_CUBIC;
  case CVIPS_LANCZOS: return VIPS_KERNEL_LANCZOS3;
  }
  return VIPS_KERNEL_CUBIC;
}

// Maps pixel centres onto pixel centres. `vips_resize` enlarges through `vips_affine`, too, but is off by half a pixel.
static VipsImage *sampled(VipsImage *image, int width, int height, CVipsKernel kernel) {
  static const char *const names[] = {"nearest", "bilinear", "bicubic", "bicubic"};
  VipsInterpolate *interpolate = lib.vips_interpolate_new(names[kernel]);
  if (interpolate == NULL) return NULL;
  double across = (double)width / lib.vips_image_get_width(image);
  double down = (double)height / lib.vips_image_get_height(image);
  // The nearest interpolator rounds down, the others count from the centre of the first pixel.
  double odx = kernel == CVIPS_NEAREST ? -0.5 : (across - 1) / 2;
  double ody = kernel == CVIPS_NEAREST ? -0.5 : (down - 1) / 2;
  int area[4] = {0, 0, width, height};
  VipsArrayInt *canvas = lib.vips_array_int_new(area, 4);
  VipsImage *out = NULL;
  int failed = lib.vips_affine(
    image, &out, across, 0, 0, down, "interpolate", interpolate, "oarea", canvas, "odx", odx, "ody", ody, "extend",
    VIPS_EXTEND_COPY, "premultiplied", TRUE, NULL);
  lib.vips_area_unref((VipsArea *)canvas);
  lib.g_object_unref(interpolate);
  return failed ? NULL : out;
}

VipsImage *cvips_resize(VipsImage *image, int width, int height, CVipsKernel kernel) {
  if (kernel == CVIPS_NEAREST) return sampled(image, width, height, kernel);
  int reduced_width = VIPS_MIN(width, lib.vips_image_get_width(image));
  int reduced_height = VIPS_MIN(height, lib.vips_image_get_height(image));
  double across = (double)reduced_width / lib.vips_image_get_width(image);
  double down = (double)reduced_height / lib.vips_image_get_height(image);
  VipsImage *reduced = NULL;
  if (lib.vips_resize(image, &reduced, across, "vscale", down, "kernel", kernel_of(kernel), NULL)) return NULL;
  if (reduced_width == width && reduced_height == height) return reduced;
  VipsImage *out = sampled(reduced, width, height, kernel);
  lib.g_object_unref(reduced);
  return out;
}

VipsImage *cvips_crop(VipsImage *image, int left, int top, int width, int height) {
  VipsImage *out = NULL;
  return lib.vips_extract_area(image, &out, left, top, width, height, NULL) ? NULL : out;
}

VipsImage *cvips_embed(
  VipsImage *image, int left, int top, int width, int height, const double *background, int bands) {
  VipsArrayDouble *colour = lib.vips_array_double_new(background, bands);
  VipsImage *out = NULL;
  int failed = lib.vips_embed(
    image, &out, left, top, width, height, "extend", VIPS_EXTEND_BACKGROUND, "background", colour, NULL);
  lib.vips_area_unref((VipsArea *)colour);
  return failed ? NULL : out;
}

VipsImage *cvips_upright(VipsImage *image, int orientation) {
  static const VipsAngle angles[9] = {
    VIPS_ANGLE_D0,   VIPS_ANGLE_D0,  VIPS_ANGLE_D0,  VIPS_ANGLE_D180, VIPS_ANGLE_D180,
    VIPS_ANGLE_D90, VIPS_ANGLE_D90, VIPS_ANGLE_D270, VIPS_ANGLE_D270,
  };
  bool mirrored = orientation == 2 || orientation == 4 || orientation == 5 || orientation == 7;
  VipsAngle angle = orientation >= 1 && orientation <= 8 ? angles[orientation] : VIPS_ANGLE_D0;
  VipsImage *turned = NULL, *out = NULL;
  if (lib.vips_rot(image, &turned, angle, NULL)) return NULL;
  if (!mirrored) return turned;
  int failed = lib.vips_flip(turned, &out, VIPS_DIRECTION_HORIZONTAL, NULL);
  lib.g_object_unref(turned);
  return failed ? NULL : out;
}

VipsImage *cvips_blur(VipsImage *image, double sigma) {
  VipsImage *blurred = NULL;
  return lib.vips_gaussblur(image, &blurred, sigma, NULL) == 0 ? blurred : NULL;
}
