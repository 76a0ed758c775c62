/*
 * handshake_vectors.h - PROTOCOL.md 14.3 and 14.4: one handshake in both ciphers with every value
 * on the way, and transport packets on its tunnel. Hexadecimal; throwaway keys, published there.
 */
#ifndef M57_HANDSHAKE_VECTORS_H
#define M57_HANDSHAKE_VECTORS_H

#define VECTOR_INITIATOR_INDEX 0x11223344u
#define VECTOR_RESPONDER_INDEX 0x55667788u
#define VECTOR_INITIATOR_TIME  1800000000000000000ull
#define VECTOR_RESPONDER_TIME  1800000000100000000ull

#define VECTOR_STAGE1                                                                              \
	"1000000000000000000000000000000107a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed"         \
	"0bdfc0b2b86d1c7cbddc9d76853826769ef67613ae4ac76169b8afbd164b4bf0d0e52fce30b64446"         \
	"0a97010a84010a400a05686f73743212098280a8518080fcff0f28aeb08ad80630aebec4ad124a20"         \
	"17152461fd0600e08067faf70fb9b16b050038e9b5dca24c7246a55ceaaf6be91240493f4c8219bc"         \
	"662c5d9fd506dbb653f200ebff4ac25881d1f213d08e497ee0c225bc12deb4165c6b861d39bc74d5"         \
	"7907fc847b03b59d7cf5a23be7b48b460b0110c4e6888901288080d09de9ceb8fd18"

#define VECTOR_STAGE2_PAYLOAD                                                                      \
	"0ac2010aa9010a650a0c686f7374312e766563746f7212098180a8518080fcff0f1a0a809aa1850c"         \
	"80feffff0f22077365727665727322076c6170746f707328aeb08ad80630aebec4ad124a20171524"         \
	"61fd0600e08067faf70fb9b16b050038e9b5dca24c7246a55ceaaf6be912407ffd0cc4c0fb172f2f"         \
	"cc3d28dee102df3cfc247d89db0f93dc7ab2fe989cd20d38639034b71728ead39763ca6c96117625"         \
	"e20878e023cee16543cfba1466d40810c4e68889011888ef99ab052880c2a7cde9ceb8fd18"

#define VECTOR_INNER "4500002100010000400166850a2a00020a2a00010800b4250007000168656c6c6f"

#define VECTOR_DH_EE "a84dc7c3c8f058b1b2dc4cd1e9b5dc0a7987f88b6a9564cde3391fc421159e77"
#define VECTOR_DH_SE "421bd273e462ea4f8d8cf3e8d70fe65b419d164fa3ab09824832649e2c218e44"
#define VECTOR_DH_ES "f620033fb157a2d930b985fc8faaa1ba6efc887a7d56e36a2deb2fdf5cb3f140"

/* By enum aead_cipher: AESGCM, ChaChaPoly. */
struct handshake_vector {
	const char *h_prologue;
	const char *h_message_1;
	const char *h_responder_e;
	const char *ck_ee;
	const char *k_ee;
	const char *ck_se;
	const char *k_se;
	const char *h_encrypted_s;
	const char *ck_es;
	const char *k_es;
	const char *h_final;
	const char *k1;
	const char *k2;
	const char *message;
	const char *test_reply;
	const char *relayed_test;
	const char *stage2;
};

static const struct handshake_vector handshake_vectors[2] = {
	{
		.h_prologue = "fa8036af1df9e55b2fbbf8c88d86be3f7392d38033bd67926b9b0143f8ea5782",
		.h_message_1 = "f622ffd10865d281a98c50be22d3b3921bacff7e38dffa651e8b16b9e7e3f4d9",
		.h_responder_e = "b67b303744ecabb52e934d2f6c588aa8220d5c37978c443ac1f8a0520baa3bd0",
		.ck_ee = "c26740499d4094fe3bdf8b667d327e7e0e5824e887777c219b202c1c10a0f0e7",
		.k_ee = "828a41eac535b7a364714b19660a31c125cc257e3a9964fd8bf1136e5ceae2ba",
		.ck_se = "7065b3ffea7943cc3f2fe1e186fa8f36becc9d3aef2024d72808c91a073b5ee1",
		.k_se = "69595dafd63036392bf7f8ef76a3859bc4ca94eda06f27ba56a924b785556469",
		.h_encrypted_s = "d8c7d2b5bd13a57c9f844031b0381845414a7ccadaa80ae677973149069da00c",
		.ck_es = "c9c2ab4ae19924cb2d6ff57fd221b0cecedd58fe74e0f51766893b8fc158e205",
		.k_es = "3588117643e5849bf9c2f68a282f5f40e849a2ea164bee915a5ea7dd32a25471",
		.h_final = "69522220d5c8a7f390b110b7997501fb85b8f508c7bd4518d876adc4826652f6",
		.k1 = "7343af50be2037acc12297e6c1780519696aca5570e49f4fedca32de769ecb01",
		.k2 = "d7011b850b10744bdb1b49331b13f8fc5ba89e74d880a2e3496aed65382bedb7",
		.message = "110000005566778800000000000000038923dcf707cc020daf144e7f3142bfa5bb7aae9"
			   "fefb29b0e"
			   "58e51e5e3b1fd9b74af16ed4b7764232441e83175b0b4fea69",
		.test_reply = "14010000112233440000000000000003ef019973eaed046960fbd9b965328630",
		.relayed_test = "1101000099aabbcc000000000000000514000000556677880000000000000004c3"
				"decbbc00efb1f8"
				"ec587d457b8f5d0b6e6e9e776b5fad9495fcd9396fe3528a",
		.stage2 = "100000001122334400000000000000025869aff450549732cbaaed5e5df9b30a6da31cb0"
			  "e5742bad"
			  "5ad4a1a768f1a67b6dc2c84f2afb131157983441620a9cc9c7a7edb138c1cc794fa99267"
			  "a0d6ce7c"
			  "a2228612bb6dd003f2c2c6e3e00921147586ebd97847565a6e9262585c388dcf91cf42cd"
			  "9eb00551"
			  "6adbcba2e3c5f54bb3100a014bd9481a0b6a46a6e3dd2aaf4b7cf4a50986b5019378a15a"
			  "76fc1a1f"
			  "5840e4281475ba655fbeff5a7eb92afd2009150b1df989376bb8abe0d44d03f670e3c04f"
			  "c9311fb8"
			  "c820cd56f61ea84be7a64d495c9fac965f42c2442964ea87fa3ec6f6de208ab16210e21a"
			  "848229f1"
			  "73677fc43b4ebea30d8c6fcb6d41a82a70233afa101e142e766d16ff3326b51e864526c2"
			  "6eafdfe2"
			  "36552c4e451a1db2602b7fb40e4b111d95404cbcb1e9fbbdcf5407891b",
	},
	{
		.h_prologue = "74cefe972107f9a1793627299a4734e57ec647354486d1c7b1d59030cb154364",
		.h_message_1 = "66711ce266d520c316257ee6a2052e84070897b39239a5c8f4a079d52eeefe2c",
		.h_responder_e = "d3b069b7aeb320c5a24d7989a2626a1d078e66c55f09b2a321bb78dfde447d91",
		.ck_ee = "37a12918f3fa744d4ca914eddf01c4e280b39a21673b996ed3f82890efebec8a",
		.k_ee = "aad7bbd1ecefe7c4f5fe825d7cca367c58d41d37e02b3e68793e460a77ee56a8",
		.ck_se = "a9c7dad795aa01c80a01c3bf1f5fa2759869ae9bf1f0898fc66dddab94823e8b",
		.k_se = "e38acd420eef57a683cb79231e5bfd8f1a1dbce46d3d66883f7a0a4b9e5fea4c",
		.h_encrypted_s = "ed6402b67309aa431fb2a515e1fc42f2dd053e2a0dc0aa204dbefcabb46e89c6",
		.ck_es = "52029467f49f84275a2bb40dd35ef3882a014ff45de71cce3d0ef77e08bea625",
		.k_es = "25b59e934f43b9f92a9d2c4de963423294884a686c64a8310decd2caba7b8677",
		.h_final = "30f72e74ad3248a0a2bcdfff6834f7079b218e2ce2b95af55a1ae1e7be988737",
		.k1 = "a2d46f161358048f6b6173d59ebb078b5233778f98c386db6476e003d2c03864",
		.k2 = "cab001d82689754e13394f97c22abea98f8b276686f7ec2680a4adfbca09f279",
		.message = "11000000556677880000000000000003537f5108a14184a20d0bbebd4ba4f0a382af929"
			   "fabe48bc6"
			   "2e46cb918359ba311d67fdb51dc6a2e5b32d58aac56a3cd6ac",
		.test_reply = "14010000112233440000000000000003e06989a60630b469b21f050d45a839a1",
		.relayed_test = "1101000099aabbcc0000000000000005140000005566778800000000000000048c"
				"6d894b58214845"
				"73e9192bfd5646f75e4a8520274c2eb948fde148ea05d946",
		.stage2 = "100000001122334400000000000000025869aff450549732cbaaed5e5df9b30a6da31cb0"
			  "e5742bad"
			  "5ad4a1a768f1a67bc0c0aef1078a180bd72408b04c5fbbf41c5abdd8393a9cf6b981f837"
			  "73893f43"
			  "47867c01757f774f5f4e4d2ec4614d6f4864014bf89982863f026e9f18582aa6d2b776fe"
			  "a4dbdda1"
			  "5bc3e75e7d456fc0082ef3077286c571c678473e7e358722425e9827b3cb2215656da6c3"
			  "7dbc953f"
			  "12b9be22d61aa629a915bfa9027bf6fdce71ea48e0e3d090a5efe67c4e4ce072955e3813"
			  "f06236a8"
			  "00cd1d50d5061b47a8469b1837be40de12c6c407012b9695897dd38f6186e83c479d441b"
			  "9a5a3cba"
			  "3318b8c7bd37acf43f05f589de916d28c00c637561c71f5bc10bf676dc250391916a146c"
			  "f6d80736"
			  "0aca0d5bd5ce5edb3fbd6010a743d8c1334b9b15951cb178f3d7cf3af2",
	},
};

#endif
