// Compressed bodies: what they hold, and that no bomb unfolds beyond the limit.
#include "telemetry/inflate.hpp"

#include <gtest/gtest.h>
#include <libdeflate.h>
#include <zstd.h>

using namespace dbnet::telemetry;

namespace {

std::string gzip(std::string_view text) {
    auto *compressor = libdeflate_alloc_compressor(6);
    std::string packed(libdeflate_gzip_compress_bound(compressor, text.size()), '\0');
    packed.resize(libdeflate_gzip_compress(compressor, text.data(), text.size(), packed.data(), packed.size()));
    libdeflate_free_compressor(compressor);
    return packed;
}

std::string zstd(std::string_view text) {
    std::string packed(ZSTD_compressBound(text.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
    return packed;
}

constexpr size_t limit = 1 << 20;

} // namespace

TEST(Inflate, UnpacksUpToTheLimitAndNoFurther) {
    const struct {
        Compression compression;
        std::string (*pack)(std::string_view);
    } codings[] = {{Compression::gzip, gzip}, {Compression::zstd, zstd}};
    for (const auto &coding : codings) {
        std::string text;
        for (const size_t size : {size_t(0), size_t(1), size_t(100'000), limit}) {
            const std::string plain(size, 'x');
            EXPECT_EQ(inflate(coding.compression, coding.pack(plain), limit, text), Inflated::whole) << size;
            EXPECT_EQ(text, plain) << size;
        }
        EXPECT_EQ(inflate(coding.compression, coding.pack(std::string(limit + 1, 'x')), limit, text),
                  Inflated::too_large);
        const std::string bomb = coding.pack(std::string(16 << 20, '\0'));
        EXPECT_LT(bomb.size(), limit);
        EXPECT_EQ(inflate(coding.compression, bomb, limit, text), Inflated::too_large);
        EXPECT_TRUE(text.empty());

        const std::string two = coding.pack("one ") + coding.pack("two");
        EXPECT_EQ(inflate(coding.compression, two, limit, text), Inflated::whole);
        EXPECT_EQ(text, "one two");

        const std::string packed = coding.pack("some text that is packed");
        for (size_t size = 0; size < packed.size(); size++)
            EXPECT_EQ(inflate(coding.compression, packed.substr(0, size), limit, text), Inflated::malformed) << size;
        EXPECT_EQ(inflate(coding.compression, packed + "?", limit, text), Inflated::malformed);
        EXPECT_EQ(inflate(coding.compression, "plain text", limit, text), Inflated::malformed);
    }
}

TEST(Inflate, DoesNotBelieveTheSizeThatIsPromised) {
    std::string packed = gzip("short");
    for (int i = 1; i <= 4; i++)
        packed[packed.size() - i] = '\xff'; // 4 GB
    std::string text;
    EXPECT_EQ(inflate(Compression::gzip, packed, limit, text), Inflated::malformed);
}
