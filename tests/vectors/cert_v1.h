/*
 * cert_v1.h - certificates of PROTOCOL.md 14.1, with what 14.2, 14.5 and 14.6 have to be refused.
 * Throwaway keys, made for tests and published there.
 */
#ifndef M57_VECTORS_CERT_V1_H
#define M57_VECTORS_CERT_V1_H

#define VECTOR_NOW            1800000000 /* unix s at which all of 14.1 are valid */
#define VECTOR_NOT_BEFORE     1795332142
#define VECTOR_CA_NOT_AFTER   4948932142
#define VECTOR_HOST_NOT_AFTER 4927332142

/* Vector CA: 10.42.0.0/16, subnets 192.168.0.0/16, groups servers, laptops. */
#define VECTOR_CA_PEM                                                                              \
	"-----BEGIN NEBULA CERTIFICATE-----\n"                                                     \
	"CmQKCVZlY3RvciBDQRIJgICoUYCA/P8PGgqAgKCFDICA/P8PIgdzZXJ2ZXJzIgds\n"                       \
	"YXB0b3BzKK6witgGMK7s6rcSOiDYXbsJJ0b/nZnApMafPDg+FcK2ceLUjUCo9QVf\n"                       \
	"rS9JzkABEkAIwSxGSWEFzCR2KtUeKh6JOo+TPNw8pfLVAJaHAdTcfjl01nU79p+a\n"                       \
	"Jfc1PSK4YEbpjTRmTV8AU9nhQ3Vz45EB\n"                                                       \
	"-----END NEBULA CERTIFICATE-----\n"
#define VECTOR_CA_KEY_PEM                                                                          \
	"-----BEGIN NEBULA ED25519 PRIVATE KEY-----\n"                                             \
	"X+u6ofvmq8khaZ+GUGKB6gskvtrN92AEh2uXWOnoaFbYXbsJJ0b/nZnApMafPDg+\n"                       \
	"FcK2ceLUjUCo9QVfrS9Jzg==\n"                                                               \
	"-----END NEBULA ED25519 PRIVATE KEY-----\n"
#define VECTOR_CA_FINGERPRINT "17152461fd0600e08067faf70fb9b16b050038e9b5dca24c7246a55ceaaf6be9"
#define VECTOR_CA_PUBLIC_KEY  "d85dbb092746ff9d99c0a4c69f3c383e15c2b671e2d48d40a8f5055fad2f49ce"

/* host1.vector: 10.42.0.1/16, subnet 192.168.77.0/24, groups servers, laptops. */
#define VECTOR_HOST1_PEM                                                                           \
	"-----BEGIN NEBULA CERTIFICATE-----\n"                                                     \
	"CocBCgxob3N0MS52ZWN0b3ISCYGAqFGAgPz/DxoKgJqhhQyA/v//DyIHc2VydmVy\n"                       \
	"cyIHbGFwdG9wcyiusIrYBjCuvsStEjogHzLsaOnt0Wk5wDfHErJIH6EueHiizNSX\n"                       \
	"j1iHlh+92ydKIBcVJGH9BgDggGf69w+5sWsFADjptdyiTHJGpVzqr2vpEkB//QzE\n"                       \
	"wPsXLy/MPSje4QLfPPwkfYnbD5PcerL+mJzSDThjkDS3Fyjq05djymyWEXYl4gh4\n"                       \
	"4CPO4WVDz7oUZtQI\n"                                                                       \
	"-----END NEBULA CERTIFICATE-----\n"
#define VECTOR_HOST1_KEY_PEM                                                                       \
	"-----BEGIN NEBULA X25519 PRIVATE KEY-----\n"                                              \
	"Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0=\n"                                           \
	"-----END NEBULA X25519 PRIVATE KEY-----\n"
#define VECTOR_HOST1_FINGERPRINT "4527d88904471f31b45b05eba791937a826e05ca4e33461f5cf8703382b2e277"
#define VECTOR_HOST1_PUBLIC_KEY  "1f32ec68e9edd16939c037c712b2481fa12e7878a2ccd4978f5887961fbddb27"
#define VECTOR_HOST1_PRIVATE_KEY "160e58a58da279a070e27f3c0e9f9d6bb8fd8bcb0fe24aaf9211dedc983d0c1d"
#define VECTOR_HOST1_HANDSHAKE                                                                     \
	"0a650a0c686f7374312e766563746f7212098180a8518080fcff0f1a0a809aa1850c80feffff0f22"         \
	"077365727665727322076c6170746f707328aeb08ad80630aebec4ad124a20"                           \
	"17152461fd0600e08067faf70fb9b16b050038e9b5dca24c7246a55ceaaf6be9"                         \
	"12407ffd0cc4c0fb172f2fcc3d28dee102df3cfc247d89db0f93dc7ab2fe989cd20d38639034b717"         \
	"28ead39763ca6c96117625e20878e023cee16543cfba1466d408"

/* host2: 10.42.0.2/16, no groups, no subnets. */
#define VECTOR_HOST2_PEM                                                                           \
	"-----BEGIN NEBULA CERTIFICATE-----\n"                                                     \
	"CmIKBWhvc3QyEgmCgKhRgID8/w8orrCK2AYwrr7ErRI6IL3cnXaFOCZ2nvZ2E65K\n"                       \
	"x2FpuK+9FktL8NDlL84wtkRGSiAXFSRh/QYA4IBn+vcPubFrBQA46bXcokxyRqVc\n"                       \
	"6q9r6RJAST9Mghm8Zixdn9UG27ZT8gDr/0rCWIHR8hPQjkl+4MIlvBLetBZca4Yd\n"                       \
	"Obx01XkH/IR7A7WdfPWiO+e0i0YLAQ==\n"                                                       \
	"-----END NEBULA CERTIFICATE-----\n"
#define VECTOR_HOST2_KEY_PEM                                                                       \
	"-----BEGIN NEBULA X25519 PRIVATE KEY-----\n"                                              \
	"hP86tB8KUyxeNKCQDn+mPT0a1ej7Cpp2JkakL7MIduA=\n"                                           \
	"-----END NEBULA X25519 PRIVATE KEY-----\n"
#define VECTOR_HOST2_FINGERPRINT   "ab95ff3b896deb773b7d250236fa21d3f3b0bf5dab0bebc302ddbe8690f003d8"
#define VECTOR_HOST2_PUBLIC_KEY    "bddc9d76853826769ef67613ae4ac76169b8afbd164b4bf0d0e52fce30b64446"
#define VECTOR_HOST2_PRIVATE_KEY   "84ff3ab41f0a532c5e34a0900e7fa63d3d1ad5e8fb0a9a762646a42fb30876e0"
#define VECTOR_HOST2_HANDSHAKE_LEN 132

/* 14.2: version 2. */
#define VECTOR_CA_V2_PEM                                                                           \
	"-----BEGIN NEBULA CERTIFICATE V2-----\n"                                                  \
	"MIG0oE6ADFZlY3RvciBDQSB2MqEaBAUKKgAAEAQR/UIAAAAAAAAAAAAAAAAAAECj\n"                       \
	"EgwHc2VydmVycwwHbGFwdG9wc4QB/4UEawKYLoYFASb6ti6CINhduwknRv+dmcCk\n"                       \
	"xp88OD4VwrZx4tSNQKj1BV+tL0nOg0An7fdSaigjVlSPMZp5vIU3XFLA8k+cyhGG\n"                       \
	"Rtv9mmwSbpAEGPaN8qlerpBfFqyAjHcD6VjzntYk1lNaoDcsOxsM\n"                                   \
	"-----END NEBULA CERTIFICATE V2-----\n"
#define VECTOR_HOST1_V2_PEM                                                                        \
	"-----BEGIN NEBULA CERTIFICATE V2-----\n"                                                  \
	"MIHcoHaADGhvc3QxLnZlY3RvcqEaBAUKKgABEAQR/UIAAAAAAAAAAAAAAAAAAUCi\n"                       \
	"BwQFwKhNABijEgwHc2VydmVycwwHbGFwdG9wc4UEawKYLoYFASWxHy6HIJBatg2M\n"                       \
	"QbMHsYFJ71DTy+qov9edXh+RA96V/NivzozigiAfMuxo6e3RaTnAN8cSskgfoS54\n"                       \
	"eKLM1JePWIeWH73bJ4NAzGqA6S0JaJ75o5D0Bhl2Efvg9wMm1IoU8IDQb9bQd3KA\n"                       \
	"z83f0ReEQ/qkzwKwpGXdg/Zxu3DHzeqdR6aLLA5UBA==\n"                                           \
	"-----END NEBULA CERTIFICATE V2-----\n"

/* 14.5: a P-256 CA. */
#define VECTOR_CA_P256_PEM                                                                         \
	"-----BEGIN NEBULA CERTIFICATE-----\n"                                                     \
	"Cl0KB1AyNTYgQ0EorrCK2AYwruzqtxI6QQQmHvvTVQzwaO8BPtc2a6MvXW/lV7Sy\n"                       \
	"q86K3ljLoWilXheIoLKaVqar7ECEwMlr09y8prUH812+qemFcIR52L3JQAGgBgES\n"                       \
	"RjBEAiBWgYBV+hC7K3peNncqMakfLRg5FYxUXfbojs/qZ8kCAQIgPFeajabuyC/E\n"                       \
	"VvNy6Mlul7WnLh65+MGYhuoZj2rXF5Y=\n"                                                       \
	"-----END NEBULA CERTIFICATE-----\n"

/* 14.6: the key of the CA above, encrypted. */
#define VECTOR_CA_ENCRYPTED_KEY_PEM                                                                \
	"-----BEGIN NEBULA ED25519 ENCRYPTED PRIVATE KEY-----\n"                                   \
	"CjsKC0FFUy0yNTYtR0NNEiwIExCAgAQYASAEKiAAAQIDBAUGBwgJCgsMDQ4PEBES\n"                       \
	"ExQVFhcYGRobHB0eHxJcAAECAwQFBgcICQoL7kAYCa6MW8nL0orEZB6aAmQLiQuF\n"                       \
	"bp85aTcXTPFyhqzMMGVqQehGW73Jm+rrIbuqopqqFKmR2qj/hTpXWq9pWTszTFb6\n"                       \
	"g4Qkaw0XsY14GZc=\n"                                                                       \
	"-----END NEBULA ED25519 ENCRYPTED PRIVATE KEY-----\n"

#endif
