import SwiftUI

@main
struct LabelsApp: App {
    var body: some Scene {
        WindowGroup {
            ContentView()
        }
    }
}
