// Runs one fuzz target over saved inputs without libFuzzer: every file of the folders and files given, whole and cut
// short at every length. `make fuzz` searches for new inputs; what it finds is saved here and stays checked.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size);

namespace {

constexpr std::size_t most_cuts = 200; // per file; longer files are cut at as many places, evenly spread

std::vector<std::uint8_t> read(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void replay(const std::filesystem::path &path) {
    const std::vector<std::uint8_t> input = read(path);
    std::printf("%s (%zu bytes)\n", path.c_str(), input.size());
    std::fflush(stdout); // says which input it was if the next line crashes
    LLVMFuzzerTestOneInput(input.data(), input.size());
    const std::size_t step = input.size() / most_cuts + 1;
    for (std::size_t size = 0; size < input.size(); size += step) {
        const std::vector<std::uint8_t> cut(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(size));
        LLVMFuzzerTestOneInput(cut.data(), cut.size());
    }
}

} // namespace

int main(int count, char **arguments) {
    std::size_t files = 0;
    for (int i = 1; i < count; ++i) {
        if (!std::filesystem::is_directory(arguments[i])) {
            replay(arguments[i]);
            ++files;
            continue;
        }
        for (const auto &entry : std::filesystem::directory_iterator(arguments[i])) {
            replay(entry.path());
            ++files;
        }
    }
    if (files == 0)
        std::fprintf(stderr, "no inputs\n");
    return files > 0 ? 0 : 1;
}
