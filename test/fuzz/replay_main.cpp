// replay TARGET PATH...: runs a fuzz target over saved inputs without libFuzzer: every file of the folders and files
// given, whole and cut short at every length. `make fuzz` searches for new inputs; what it finds is saved here and
// stays checked.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

// The Makefile names the targets: TARGET(cron) TARGET(path) …
#define TARGET(name) extern "C" int name##_fuzz(const std::uint8_t *data, std::size_t size);
DBNET_FUZZ_TARGETS
#undef TARGET

namespace {

using Target = int (*)(const std::uint8_t *data, std::size_t size);

Target find_target(std::string_view wanted) {
#define TARGET(name)                                                                                                   \
    if (wanted == #name)                                                                                               \
        return name##_fuzz;
    DBNET_FUZZ_TARGETS
#undef TARGET
    return nullptr;
}

constexpr std::size_t most_cuts = 200; // per file; longer files are cut at as many places, evenly spread

std::vector<std::uint8_t> read(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void replay(Target target, const std::filesystem::path &path) {
    const std::vector<std::uint8_t> input = read(path);
    std::printf("%s (%zu bytes)\n", path.c_str(), input.size());
    std::fflush(stdout); // says which input it was if the next line crashes
    target(input.data(), input.size());
    const std::size_t step = input.size() / most_cuts + 1;
    for (std::size_t size = 0; size < input.size(); size += step) {
        const std::vector<std::uint8_t> cut(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(size));
        target(cut.data(), cut.size());
    }
}

} // namespace

int main(int count, char **arguments) {
    const Target target = count > 1 ? find_target(arguments[1]) : nullptr;
    if (target == nullptr) {
        std::fprintf(stderr, "usage: fuzz_replay TARGET PATH...\n");
        return 2;
    }
    std::size_t files = 0;
    for (int i = 2; i < count; ++i) {
        if (!std::filesystem::is_directory(arguments[i])) {
            replay(target, arguments[i]);
            ++files;
            continue;
        }
        for (const auto &entry : std::filesystem::directory_iterator(arguments[i])) {
            replay(target, entry.path());
            ++files;
        }
    }
    if (files == 0)
        std::fprintf(stderr, "no inputs\n");
    return files > 0 ? 0 : 1;
}
