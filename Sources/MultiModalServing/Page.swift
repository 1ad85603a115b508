import Foundation

/// The page for trying the model: plain files that stand in the program.
enum Page {
  static func file(_ path: String) -> ServingResponse? {
    switch path {
    case "/": response(PackageResources.index_html, "text/html; charset=utf-8")
    case "/page.css": response(PackageResources.page_css, "text/css; charset=utf-8")
    case "/page.js": response(PackageResources.page_js, "text/javascript; charset=utf-8")
    default: nil
    }
  }

  /// Nothing is loaded from elsewhere, and no other page may frame it.
  private static let policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    + "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

  private static func response(_ bytes: [UInt8], _ type: String) -> ServingResponse {
    ServingResponse(
      headers: [
        (name: "Content-Type", value: type), (name: "Content-Security-Policy", value: policy),
        (name: "X-Content-Type-Options", value: "nosniff"), (name: "Cache-Control", value: "no-cache"),
      ], body: .bytes(Data(bytes)))
  }
}
