import Foundation

/// The page for trying the model: plain files that stand in the program.
enum Page {
  /// By path.
  static let files: [String: (type: String, bytes: [UInt8])] = [
    "/": ("text/html", PackageResources.index_html), "/page.css": ("text/css", PackageResources.page_css),
    "/page.js": ("text/javascript", PackageResources.page_js),
  ]

  /// Nothing is loaded from elsewhere, and no other page may frame it.
  private static let policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    + "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

  static func file(_ path: String) -> ServingResponse? {
    files[path].map { type, bytes in
      ServingResponse(
        headers: [
          (name: "Content-Type", value: "\(type); charset=utf-8"),
          (name: "Content-Security-Policy", value: policy),
          (name: "X-Content-Type-Options", value: "nosniff"), (name: "Cache-Control", value: "no-cache"),
        ], body: .bytes(Data(bytes)))
    }
  }
}
